"""The PowerShell of the emulated host: it reads the language over a real grammar and works on the host's model, on nothing else."""
