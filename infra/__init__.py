"""The ground: settings, database, storage, Redis, queue, processes, telemetry."""
