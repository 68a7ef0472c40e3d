"""What spark-submit is given to run ingest."""

from kinfolk.jobs.ingest import JOB
from kinfolk.run import main

if __name__ == "__main__":
    main(JOB)
