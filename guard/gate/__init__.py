"""May this contract step be taken now?"""
