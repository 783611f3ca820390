"""``python -m skywire``"""

from skywire.cli.main import main

main()
