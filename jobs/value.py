"""What spark-submit is given to run value."""

from kinfolk.jobs.value import JOB
from kinfolk.run import main

if __name__ == "__main__":
    main(JOB)
