"""What every release of the shop shares: settings read from the environment, and JSON over HTTP."""
