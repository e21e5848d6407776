"""JT/T 808 in its 2011, 2013 and 2019 editions, as a platform hears it. Functions of bytes, columns and `now`."""
