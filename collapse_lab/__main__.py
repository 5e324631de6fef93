from collapse_lab.cli.app import main

main()
