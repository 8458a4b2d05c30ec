# Class: sleeps for ever while its module loads
# Deserves: 0
# Cpu: 0.2

import time

time.sleep(1e6)
