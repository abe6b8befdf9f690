"""The live job: one broadcast from its takes to its air list."""
