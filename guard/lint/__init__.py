"""What migration files alone tell about a rolling deploy: findings, without a database."""
