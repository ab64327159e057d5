"""`/v1/admin` and `/v1/me`: accounts over REST. What may be done is the desk's to say; routes only translate."""
