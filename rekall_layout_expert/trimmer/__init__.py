"""From a translation unit to the declarations that types are made of."""
