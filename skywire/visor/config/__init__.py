"""The configuration of a visor: upstream's file, read strictly and changed without losing anything.

=====================================  =============================================================================
:mod:`skywire.visor.config.schema`     the keys, each with its type and default
:mod:`skywire.visor.config.file`       a file: reading, and changes that leave the rest byte for byte
:mod:`skywire.visor.config.rows`       the app instances that it means
:mod:`skywire.visor.config.settings`   what a visor goes by: flag before environment before file before default
=====================================  =============================================================================
"""
