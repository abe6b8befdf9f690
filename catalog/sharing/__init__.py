"""What leaves the house: webhooks, harvests (OAI-PMH) and submission packages (BagIt)."""
