"""Notifications: messages about alerts as text, mail, JSON and feed, and the channels that deliver them."""
