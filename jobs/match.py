"""What spark-submit is given to run match."""

from kinfolk.jobs.match import JOB
from kinfolk.run import main

if __name__ == "__main__":
    main(JOB)
