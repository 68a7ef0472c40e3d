"""What spark-submit is given to run report."""

from kinfolk.jobs.report import JOB
from kinfolk.run import main

if __name__ == "__main__":
    main(JOB)
