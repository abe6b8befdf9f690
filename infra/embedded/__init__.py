"""PostgreSQL and Redis out of wheels, for the machine that runs everything itself."""
