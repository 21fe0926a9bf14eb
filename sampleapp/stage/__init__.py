"""What the demo and the acceptance tests have in common: databases, processes of each release, and load on them."""
