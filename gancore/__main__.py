from gancore.cli import main

main()
