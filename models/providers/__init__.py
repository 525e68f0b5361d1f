"""Where networks come from: one file per provider, each behind the two methods of ``base.Provider``."""
