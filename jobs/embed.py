"""What spark-submit is given to run embed."""

from kinfolk.jobs.embed import JOB
from kinfolk.run import main

if __name__ == "__main__":
    main(JOB)
