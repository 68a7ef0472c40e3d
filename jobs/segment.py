"""What spark-submit is given to run segment."""

from kinfolk.jobs.segment import JOB
from kinfolk.run import main

if __name__ == "__main__":
    main(JOB)
