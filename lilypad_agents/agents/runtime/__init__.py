"""What every agent is made of: settings, context, deal book, loop, health, logs and signed HTTP requests."""
