"""The steps of kinfolk's set-up; standard library only, because nothing else is there yet."""
