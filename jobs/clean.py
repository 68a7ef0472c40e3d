"""What spark-submit is given to run clean."""

from kinfolk.jobs.clean import JOB
from kinfolk.run import main

if __name__ == "__main__":
    main(JOB)
