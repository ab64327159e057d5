"""Campaigns that kill workers under streams and look at every answer."""
