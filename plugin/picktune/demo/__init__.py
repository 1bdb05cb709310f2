"""The demonstration: a server with sample tickets for a person, or the whole loop with a simulated picker."""
