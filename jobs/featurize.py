"""What spark-submit is given to run featurize."""

from kinfolk.jobs.featurize import JOB
from kinfolk.run import main

if __name__ == "__main__":
    main(JOB)
