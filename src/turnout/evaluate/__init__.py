"""The workbench: the same strategies over recorded outcomes. Floor 6."""
