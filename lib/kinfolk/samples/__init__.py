"""The demo data (`fetch`), generators with a planted truth (`generators`), and what benchmarks read (`lookalikes`)."""

from kinfolk.samples.fetch import fetch_samples, samples_folder

__all__ = ["fetch_samples", "samples_folder"]
