"""What spark-submit is given to run recommend."""

from kinfolk.jobs.recommend import JOB
from kinfolk.run import main

if __name__ == "__main__":
    main(JOB)
