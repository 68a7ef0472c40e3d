"""The demo data (`fetch`), and generators with a planted truth (`generators`)."""

from kinfolk.samples.fetch import fetch_samples, samples_folder

__all__ = ["fetch_samples", "samples_folder"]
