# Class: ends the process while the module loads
# Deserves: 0

import os

os._exit(0)
