"""What spark-submit is given to run train."""

from kinfolk.jobs.train import JOB
from kinfolk.run import main

if __name__ == "__main__":
    main(JOB)
