"""From a text to a vector, in several ways behind one interface (`learn.base.Encoder`). Floor 2."""
