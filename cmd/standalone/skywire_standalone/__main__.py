"""``python -m skywire_standalone``"""

from skywire_standalone.main import main

main()
