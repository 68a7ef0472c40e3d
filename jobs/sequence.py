"""What spark-submit is given to run sequence."""

from kinfolk.jobs.sequence import JOB
from kinfolk.run import main

if __name__ == "__main__":
    main(JOB)
