"""The management routes of LiteLLM's proxy, so that scripts written for it work here unchanged.

A team is a tenant, a token is a key's id. Where LiteLLM takes a field that this gateway does not honour and that would
bound or widen something, the request is refused; other unknown fields are ignored, as LiteLLM ignores them.
"""
