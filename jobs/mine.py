"""What spark-submit is given to run mine."""

from kinfolk.jobs.mine import JOB
from kinfolk.run import main

if __name__ == "__main__":
    main(JOB)
