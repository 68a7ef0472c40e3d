"""One exception tree; the class of an error decides the exit code of the process."""

from __future__ import annotations


class KinfolkError(Exception):
    """Any failure kinfolk explains itself; the message says what came, what is allowed and what to do next."""

    exit_code = 1


class SettingsError(KinfolkError):
    """A setting, an option or an argument is unknown, misspelt or out of its range."""

    exit_code = 2


class DataError(KinfolkError):
    """The data is not what the job can work with, as a whole: a column is missing, too many rows were turned away."""

    exit_code = 3


class ContractError(DataError):
    """A table or a frame does not match its contract; names every mismatch at once."""


class LossLimitError(DataError):
    """A job would reject or delete a larger share of rows than the settings allow; nothing was committed."""


class UnsupportedTableError(DataError):
    """A Delta table uses a feature that a reader outside Spark would misread, such as deletion vectors."""


class EnvironmentProblem(KinfolkError):
    """Something on this machine is missing or too small: Java, disk, memory, a wheel, a jar."""

    exit_code = 4


class FetchError(EnvironmentProblem):
    """A download failed or did not match its checksum."""


class LakeBusyError(KinfolkError):
    """Another run holds the lake, or committed to a table that this run was about to change."""

    exit_code = 5


class NotFoundError(KinfolkError):
    """What was asked for is not there: a table, a version, a model, an item."""

    exit_code = 6
