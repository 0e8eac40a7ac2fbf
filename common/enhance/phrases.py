"""What rules add to a prompt, by part of the scene, and the signs that a prompt speaks of that part already."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from typing import Final

from common.contract import ModeKey
from common.enhance.asked import Axis, Language

Phrases = Mapping[Axis, Sequence[str]]

GENERAL: Final[Mapping[Language, Phrases]] = {
    "en": {
        "motion": (
            "natural, unhurried movement",
            "lively movement with real weight",
            "slow and fluid movement from start to end",
            "small movements everywhere in the scene",
        ),
        "camera": (
            "slow push-in at eye level, shallow depth of field",
            "steady medium shot with a gentle pan",
            "smooth tracking shot that keeps the subject in the middle",
            "wide shot on a locked tripod, deep focus",
        ),
        "light": (
            "soft daylight from the side with gentle shadows",
            "warm low sun with long shadows and a light rim",
            "diffuse light under a thin overcast sky",
            "one strong key light with a soft fill, clear contrast",
        ),
        "style": (
            "photorealistic, fine detail, natural colours",
            "cinematic look, subtle film grain, balanced colours",
            "documentary look, true colours, crisp texture",
            "rich colours, high detail, clean image",
        ),
    },
    "zh": {
        "motion": ("动作自然流畅", "动作连贯舒缓", "运动富有力量感", "画面各处有细微的动态"),
        "camera": (
            "镜头缓缓推近，浅景深",
            "平视中景，镜头轻轻摇移",
            "跟拍镜头平稳，主体居中",
            "固定机位，全景构图",
        ),
        "light": ("柔和的侧面自然光", "温暖的低角度阳光，影子修长", "阴天的漫射光", "主光明确，明暗对比清晰"),
        "style": (
            "写实风格，细节丰富",
            "电影质感，轻微胶片颗粒",
            "纪实风格，色彩真实",
            "色彩饱满，画面干净细腻",
        ),
    },
}

OWN: Final[Mapping[ModeKey, Mapping[Language, Phrases]]] = {
    "i2v": {
        "en": {
            "camera": (
                "the camera pushes in slowly",
                "the camera stays still",
                "the camera drifts gently to one side",
                "a slow, smooth orbit of the camera",
            )
        },
        "zh": {"camera": ("镜头缓缓推近", "固定镜头", "镜头轻轻横移", "镜头平稳环绕")},
    },
    "flf2v": {
        "en": {
            "motion": (
                "one continuous movement from the first frame to the last",
                "an even, smooth transition without a cut",
                "the change happens gradually and naturally",
            ),
            "camera": (
                "the camera moves steadily between both views",
                "one unbroken shot, the camera follows the movement",
                "the camera glides evenly",
            ),
        },
        "zh": {
            "motion": ("动作从首帧到尾帧连贯流畅", "画面平滑过渡，没有跳切", "变化自然而循序渐进"),
            "camera": ("镜头平稳地移动", "一镜到底，镜头缓缓跟随", "镜头匀速推进"),
        },
    },
    "s2v": {
        "en": {
            "motion": (
                "lips follow every word, with small natural gestures",
                "an expressive face, the head moves lightly with the rhythm",
                "calm speech with relaxed shoulders and natural blinking",
            ),
            "camera": (
                "a steady close-up at eye level",
                "medium close-up, the camera stays still",
                "head and shoulders in frame, soft background",
            ),
        },
        "zh": {
            "motion": ("口型与语音一致，手势自然", "表情生动，头部随节奏轻轻摆动", "神态放松，自然眨眼"),
            "camera": ("平视特写，镜头稳定", "中近景，固定镜头", "胸像构图，背景柔和"),
        },
    },
    "animate": {
        "en": {
            "motion": (
                "the character moves naturally; face, clothes and proportions stay the same",
                "fluid movement with real weight, the clothes follow",
            ),
            "light": ("light that fits the scene, with soft shadows", "even, natural light on the character"),
        },
        "zh": {
            "motion": ("人物动作自然，面容、服装和比例保持一致", "动作流畅有力，衣物随之摆动"),
            "light": ("光线与场景一致，阴影柔和", "人物受光均匀自然"),
        },
    },
}
"""Where a mode has words of its own in place of the general ones."""


def phrases(mode: ModeKey, language: Language, axis: Axis) -> Sequence[str]:
    """What may be added in a mode for a part of the scene."""
    return OWN.get(mode, {}).get(language, {}).get(axis) or GENERAL[language][axis]


_SIGNS: Final[Mapping[Axis, tuple[str, str]]] = {
    # English stems, at the beginning of a word; Chinese anywhere
    "motion": (
        r"mov(?:e|es|ed|ement)\b|motion|runs?\b|walks?\b|danc|jump|fl(?:y|ies)\b|turns?\b|opens?\b|spreads?\b|"
        r"falls?\b|rises?\b|fights?\b|smiles?\b|speaks?\b|talks?\b|sings?\b|plays?\b|performs?\b|reads?\b|"
        r"takes? flight|rolls?\b|flows?\b|blows?\b|spins?\b|waves?\b|grows?\b|goes\b|comes?\b|swims?\b|"
        r"rides?\b|drives?\b|climbs?\b|pours?\b|gestures?\b|lips\b|transition|time-?lapse|slow.?motion|"
        r"stands? still",
        "动|跑|走|跳|飞|转|张开|落|升|笑|说|唱|舞|游|骑|流|飘|摇|摆|过渡|变化|奔|翻|吹",
    ),
    "camera": (
        r"camera|shots?\b|close.?up|zoom|pan(?:s|ning)?\b|dolly|track(?:ing|s)\b|aerial|drone|handheld|lens|"
        r"angle|macro|orbit|tilt|crane|pov\b|point of view|bird.?s.eye|depth of field|focus\b|tripod|"
        r"time-?lapse|framing|in frame",
        "镜头|特写|近景|中景|远景|全景|航拍|运镜|推近|拉远|跟拍|俯拍|仰拍|机位|视角|景深|构图",
    ),
    "light": (
        r"light(?:s|ing|ning)?\b|lit\b|sun(?:ny|set|rise|shine|light)?\b|moon|night|dawn|dusk|day(?:light)?\b|"
        r"morning|evening|noon|golden hour|neon|shadow|dark(?:ness)?\b|bright|glow|candle|backlit|spotlight|"
        r"lamp|overcast|fog|mist|storm|twilight|sunlit|moonlit",
        "光|夜|黎明|黄昏|日落|日出|清晨|傍晚|阴影|暗|亮|霓虹|烛|逆光|阳|雾|月",
    ),
    "style": (
        r"style|cinematic|photo(?:real\w*|graph\w*)?\b|realis|anime|cartoon|paint|watercolou?r|sketch|drawing|"
        r"illustrat|3d\b|render|clay|stop.motion|film\b|grain|vintage|retro|pixel|comic|oil\b|colou?rs?\b|"
        r"black.and.white|monochrome|documentary|19\d0s|noir|aesthetic|ink\b|low.?poly|lego|origami",
        "风格|电影|写实|动漫|动画|卡通|油画|水彩|素描|插画|渲染|黏土|胶片|颗粒|复古|像素|黑白|色彩|质感|水墨|国风",
    ),
}
_NOT_DOING = (
    "morning|evening|building|ceiling|painting|lighting|wing|ring|king|spring|string|clothing|thing|something|"
    "nothing|everything|anything|sibling|wedding|railing|sterling|during|drawing|fishing|boxing|living|dining|"
    "pudding|darling|viking|duckling|earring|being|amazing|stunning|interesting|charming|according|including"
)
_DOING = re.compile(rf"\b(?!(?:{_NOT_DOING})\b)[a-z]{{2,}}ing\b", re.IGNORECASE)
_FOUND = {
    axis: re.compile(rf"\b(?:{english})|{chinese}", re.IGNORECASE)
    for axis, (english, chinese) in _SIGNS.items()
}


def said(axis: Axis, prompt: str) -> bool:
    """Whether a prompt speaks of that part of the scene already: better one phrase too few than two that differ."""
    if axis == "motion" and _DOING.search(prompt):
        return True
    return _FOUND[axis].search(prompt) is not None
