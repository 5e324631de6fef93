from collapse_lab.app import main

main()
