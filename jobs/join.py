"""What spark-submit is given to run join."""

from kinfolk.jobs.join import JOB
from kinfolk.run import main

if __name__ == "__main__":
    main(JOB)
