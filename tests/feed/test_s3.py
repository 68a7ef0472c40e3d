"""Tables in S3, through a real server that speaks its protocol, with credentials from the environment."""

import urllib.request
from collections.abc import Iterator

import pyarrow as pa
import pytest
from deltalake import WriterProperties, write_deltalake
from feed_tables import feed_epoch, make_loader, make_rows
from moto.server import ThreadedMotoServer

from kinfolk.errors import NotFoundError
from kinfolk.feed.conditions import Condition
from kinfolk.feed.order import Shard
from kinfolk.feed.snapshot import pin_snapshot, plan_row_groups

ROWS = make_rows(range(1000)).append_column("day", pa.array(["a b", "c/d"] * 500))


@pytest.fixture
def bucket(monkeypatch: pytest.MonkeyPatch) -> Iterator[str]:
    server = ThreadedMotoServer(port=0)
    server.start()
    host, port = server.get_host_and_port()
    address = f"http://{host}:{port}"
    surroundings = {
        "AWS_ACCESS_KEY_ID": "someone",
        "AWS_SECRET_ACCESS_KEY": "something",
        "AWS_REGION": "eu-central-1",
        "AWS_ENDPOINT_URL": address,
        "AWS_ALLOW_HTTP": "true",
        "AWS_S3_ALLOW_UNSAFE_RENAME": "true",
    }
    for name, value in surroundings.items():
        monkeypatch.setenv(name, value)
    urllib.request.urlopen(urllib.request.Request(f"{address}/lake", method="PUT"))
    yield "lake"
    server.stop()


def test_a_table_in_s3_is_fed_row_by_row_as_one_on_disk(bucket):
    small = WriterProperties(max_row_group_size=100)
    write_deltalake(f"s3://{bucket}/tables/items", ROWS, partition_by=["day"], writer_properties=small)
    plan = plan_row_groups(pin_snapshot(f"s3a://{bucket}/tables/items"))
    assert len(plan.row_groups) == 10
    loaders = [make_loader(plan, Shard(rank, 2, 64)) for rank in range(2)]
    for epoch in (1, 2):
        assert sorted(row for loader in loaders for row in feed_epoch(loader, epoch)) == list(range(1000))
    late = plan_row_groups(pin_snapshot(f"s3://{bucket}/tables/items", where=[Condition("id", ">=", 550)]))
    assert sorted(feed_epoch(make_loader(late, Shard(0, 1, 64)), 1)) == list(range(550, 1000))
    with pytest.raises(NotFoundError, match="no Delta table"):
        pin_snapshot(f"s3a://{bucket}/tables/nothing")
