"""Words that make two questions different ones, or leave them the same. Floor 2.

Written by hand, and looked through on the training part of a set of question pairs. English throughout, with
negations of some other European languages: elsewhere a veto comes from the words themselves.
"""

from collections.abc import Mapping
from typing import Final


def _words(text: str) -> tuple[str, ...]:
    return tuple(text.split())


def _groups(text: str) -> tuple[tuple[str, ...], ...]:
    groups = text.strip().replace("\n", ";").split(";")
    return tuple(tuple(group.split()) for group in groups)


NEGATIONS: Final = frozenset(
    _words("""
avoid barely cannot except excluding fail failed failing fails geen hardly instead jamais kein keine
keinen lack lacking lacks mai ne neither never nicht nie niet ningun no nobody none nor not nothing
nowhere nunca ohne pas refuse sans senza sin stop stopped stops unable unless without
""")
)
_COUNTED: Final = _words("""
zero one two three four five six seven eight nine ten eleven twelve thirteen fourteen fifteen sixteen
seventeen eighteen nineteen twenty
""")
_TENS: Final = _words("thirty forty fifty sixty seventy eighty ninety hundred")
_ORDINALS: Final = _words("first second third fourth fifth sixth seventh eighth ninth tenth")
NUMBERS: Final[Mapping[str, str]] = {
    **{word: str(n) for n, word in enumerate(_COUNTED)},
    **{word: str(10 * n) for n, word in enumerate(_TENS, 3)},
    **{word: f"{n}th" for n, word in enumerate(_ORDINALS, 1)},
    "thousand": "1000",
    "million": "1000000",
    "billion": "1000000000",
    "trillion": "1000000000000",
    "half": "0.5",
    "quarter": "0.25",
    "dozen": "12",
    "once": "1x",
    "twice": "2x",
    "single": "1",
    "double": "2x",
    "triple": "3x",
    "both": "2",
}
_MONTHS: Final = _words("""
january february march april june july august september october november december
""")
_DAYS: Final = _words("monday tuesday wednesday thursday friday saturday sunday")
_WHEN: Final = _words("""
today yesterday tomorrow tonight now currently present past future last next previous recent recently
latest current new newest old oldest upcoming ago before after since until during later earlier soon daily
weekly monthly yearly annually hourly morning afternoon evening night noon midnight weekend spring summer
autumn winter day days week weeks month months year years hour hours minute minutes second seconds decade
century always sometimes often rarely still already yet anymore again
""")
_SAME_WHEN: Final[Mapping[str, str]] = {
    "days": "day",
    "weeks": "week",
    "months": "month",
    "years": "year",
    "hours": "hour",
    "minutes": "minute",
    "seconds": "second",
    "currently": "now",
    "current": "now",
    "present": "now",
    "recently": "recent",
    "annually": "yearly",
}
DATES: Final[Mapping[str, str]] = {
    **{word: _SAME_WHEN.get(word, word) for word in (*_MONTHS, *_DAYS, *_WHEN)},
    **{month[:3]: month for month in _MONTHS if month != "march"},
    **{day[:3]: day for day in _DAYS if day not in ("saturday", "sunday", "wednesday")},
}
DIRECTIONS: Final = frozenset(
    _words("""
after against at because before between by for from if in into on onto over than to under versus vs
when who whom with
""")
)
"""Words between which the order of others means something."""
PAIRS: Final = _groups("""
enable disable; enable deactivate; activate deactivate; on off; start stop; start end; begin end
open close; open shut; lock unlock; add remove; add delete; create delete; create destroy; insert delete
insert remove; install remove; increase decrease; increase reduce; raise lower; grow shrink; gain lose
win lose; buy sell; lend borrow; rent buy; import export; upload download; send receive; push pull
encrypt decrypt; encode decode; compress decompress; zip unzip; accept reject; accept decline
accept refuse; allow deny; allow block; allow forbid; permit forbid; permit ban; grant revoke
approve reject; approve deny; include exclude; attach detach; connect disconnect; join leave; enter exit
enter leave; login logout; up down; left right; top bottom; high low; higher lower; highest lowest
more less; more fewer; most least; max min; maximum minimum; large small; big small; long short
longer shorter; tall short; wide narrow; thick thin; deep shallow; hot cold; warm cool; heat cool
fast slow; faster slower; quick slow; early late; good bad; better worse; best worst; positive negative
pros cons; advantage disadvantage; benefit risk; benefit drawback; true false; right wrong
correct incorrect; safe dangerous; safe unsafe; easy hard; easy difficult; simple complex
cheap expensive; rich poor; hard soft; strong weak; legal illegal; love hate; happy sad; married single
male female; man woman; men women; boy girl; husband wife; mother father; brother sister; son daughter
uncle aunt; king queen; he she; his her; him her; public private; internal external; inside outside
indoor outdoor; north south; east west; first last; front back; before after; above below; over under
past future; old young; old new; alive dead; live die; birth death; full empty; dry wet; clean dirty
light dark; light heavy; black white; day night; summer winter; lose find; save spend; give take
teach learn; ask answer; question answer; push pop; read write; input output; source target
source destination; client server; parent child; ascend descend; ascending descending; even odd
prime composite; plus minus; multiply divide; add subtract; credit debit; asset liability; profit loss
bull bear; long hedge; hire fire; promote demote; employer employee; teacher student; doctor patient
landlord tenant; buyer seller; supply demand; attack defend; attack defense; friend enemy; war peace
vegetarian meat; vegan meat; boil freeze; melt freeze; sink float; build break; build demolish
repair break; fix break; mount unmount; commit rollback; upgrade downgrade; update rollback
backup restore; show hide; visible hidden; expand collapse; merge split; wake sleep; laugh cry
arrive depart; arrival departure; same different; similar different; common rare; cause cure
cause prevent; prevent cause; treat cause; gain lost
""")
"""Words that mean the opposite of each other."""
ASKS: Final[Mapping[str, str]] = {
    "who": "who",
    "whom": "who",
    "whose": "who",
    "when": "when",
    "where": "where",
    "why": "why",
    "how many": "how many",
    "how much": "how many",
    "how long": "how long",
    "how old": "how old",
    "how often": "how often",
    "how far": "how far",
    "should": "should",
    "must": "should",
    "will": "will",
}
"""What is asked after."""
AUXILIARIES: Final = frozenset(
    _words("""
am are aren't can can't could did didn't do does doesn't don't had has have is isn't may might must should
was were will won't would
""")
)
"""Words that begin a question which is answered by yes or no."""
OWNERS: Final[Mapping[str, str]] = {
    **dict.fromkeys(("my", "mine", "our", "ours"), "mine"),
    **dict.fromkeys(("your", "yours"), "yours"),
    **dict.fromkeys(("his", "her", "hers", "their", "theirs"), "theirs"),
}
LIGHT: Final = frozenset(
    _words("""
a about actually advice also am an and any anybody anyone anything are as at be been being but by can
could describe did do does doing done even ever exactly explain for from get gets getting give got had has
have having hello help here hey hi hint hints how i if in into is it its itself just kind know lot lots
made make makes making many may me mean means meant might mine much must my of on one ones only onto or
our ours people per person please possible possibly quite rather really shall should so some somebody
someone something sort suggest suggestion suggestions tell thank thanks that the their them there these
they thing things this those through tip tips to too type us very via want wanted wants was way ways we
were what when where whether which who whom whose why will with would you your yours
""")
)
"""Words that alone do not make another question. Negations and numbers are looked at before them."""
SAME: Final = _groups("""
buy purchase; car automobile; movie film; job career; phone mobile cellphone smartphone; fast quick
big large huge; begin start commence; fix repair solve resolve; error problem issue trouble
picture photo image; good best great better; find search locate; learn study; improve enhance increase
reduce lower decrease; child kid; doctor physician; company firm; method technique approach
choose select pick; remove delete erase; show display; shop store; trip travel journey; country nation
money cash; smart intelligent clever; price cost; difference differ; effect impact; app application
difficult hard tough; earn make; easy simple easily; important significant importance; reason cause
answer reply response; happen occur; speak talk; end finish; website site webpage; laptop notebook
cv resume; uni university college; usa us america american; uk britain; india indian
create build develop; recover restore; modify change alter edit
""")
"""Words of which one may stand for another."""
