from kinfolk.jobs.train import JOB
from kinfolk.run import main

if __name__ == "__main__":
    main(JOB)
