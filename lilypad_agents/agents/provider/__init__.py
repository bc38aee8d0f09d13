"""The provider: offers this machine, runs jobs of others on it, proves and delivers results, and gets paid for them."""
