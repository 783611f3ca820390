"""``python -m skywire_dmsg``"""

from skywire_dmsg.main import main

main()
